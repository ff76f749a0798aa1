"""Why a photo is a hit: where in the query and in the photo the score comes from."""
