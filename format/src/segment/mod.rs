//! Data files: blocks, dictionaries, pages, root, trailer.
