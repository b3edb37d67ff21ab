r"""The file system as the engine uses it, and the lock of a store directory.

Nothing in the engine calls `os` for a store's files: it gets a `FileSystem`. Tests pass one in memory that loses what
was not synced, or one that fails at a chosen call.

    engine ---> filesystem (FileSystem, File, Lock; OsFileSystem) ---> spare_descriptors
       \------> directory_lock ---> filesystem

* `filesystem`: the interface, what is durable after which call, and the implementation on the operating system;
* `directory_lock`: keeps a second process off a store, and tells it which process has the store;
* `spare_descriptors`: file descriptors kept in reserve, so that a store can open a file when connections have taken all
  others.

Example: a file is durable after two calls, one for its bytes and one for its name.

    >>> import tempfile
    >>> from brainctl.engine.vfs.filesystem import OsFileSystem, block_bytes, write_all
    >>> fs, directory = OsFileSystem(), tempfile.mkdtemp()
    >>> file = fs.create(f"{directory}/MANIFEST.new")
    >>> write_all(file, b"segments", 0)     # in the page cache: lost by a power cut
    >>> file.sync()                         # its bytes are durable, its name is not
    >>> fs.rename(f"{directory}/MANIFEST.new", f"{directory}/MANIFEST")
    >>> fs.sync_directory(directory)        # its new name is durable
    >>> fs.names(directory)
    ['MANIFEST']
    >>> file.close()

A write through the page cache reaches the disk in whole blocks of 4096 bytes, which is what is counted:

    >>> block_bytes(4090, 10)
    8192

A second lock is refused until the first is released:

    >>> lock = fs.lock(f"{directory}/LOCK")
    >>> fs.lock(f"{directory}/LOCK") is None
    True
    >>> lock.release()
    >>> fs.unlink(f"{directory}/MANIFEST"); fs.unlink(f"{directory}/LOCK")
"""
