"""Copies of stores: hard links, restore, points in time, database files of etcd."""
