"""The playground's pages: what is drawn and clicked. Everything else lives in other packages."""
