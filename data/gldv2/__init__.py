"""Downloading a chosen part of Google Landmarks v2, and importing it as a collection.

    lists      the CSV files, once for all downloads
    choice     which photos, from the lists alone
    shards     which of the tars hold them: the first header of each
    photos     by byte range (see data.gldv2.tar), or from whole shards as they stream by
    import     by data.glr21, from a folder in the layout of the data set

Nothing is fetched before ``confirm`` was asked with an estimate, twice: for the lists, then for
the photos. Below ``downloads/gldv2/`` of the artefacts::

    lists/              the CSV files with notes of their size and SHA-256
    shards/{split}/     what is known of each tar: size, ETag, first id, the entries passed
    subsets/NAME/       download.json, CSV files of the subset, {split}/a/b/c/abc….jpg
    questions/NAME.json an estimate that a page shows until it is answered

Shards are chosen by the first id of each where those ascend, else all are looked through. A whole
shard is never kept on disk: its photos wait aside until the MD5 of all its bytes is right. The MD5
of a shard says nothing about a part of it, so photos by byte range are checked otherwise: the
checksum and the name of their tar header, the header that must follow them, and that they decode.
A photo is renamed to its place when it is complete; a process killed at any time goes on from
there and ends with the same files.
"""
