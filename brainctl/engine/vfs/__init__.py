"""The file system that the engine uses, passed in so that tests can let it fail, and the lock of a store directory.

Modules in reading order:

* `filesystem`: the interface, its durability contract, and the implementation on the operating system;
* `directory_lock`: keeps a second process off a store;
* `spare_descriptors`: file descriptors kept in reserve, so that a store can open a file when connections have taken all
  others.
"""
