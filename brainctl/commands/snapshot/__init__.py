"""brainctl snapshot: `command` for database files of etcd, `links` for backups by hard links."""
