"""Blobs in a directory, or in S3 with a directory as cache."""
