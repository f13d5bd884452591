"""Contract suites: what every adapter of a port must do. A plugin's tests subclass them and say how to make one.

    from septum.testing.contracts.blob_store import BlobStoreContract

    class TestS3Blobs(BlobStoreContract):
        @contextmanager
        def make(self, directory: Path) -> Iterator[BlobStore]:
            yield S3Blobs(...)

They need pytest, which septum itself does not install.
"""
