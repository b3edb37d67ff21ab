//! The tests of the etcd-client crate, built against the versions in Cargo.lock.
