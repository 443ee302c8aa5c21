"""Connections to a Redis server, straight to its address or through Sentinels. They follow the primary.

A connection that meets a replica, or a server that is loading, is closed and raises `NotPrimary`, which is a connection
error: the next command connects anew, and reaches the new primary behind the same address or asks the Sentinels.
"""
