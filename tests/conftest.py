"""What every test shares."""

from hypothesis import settings

settings.register_profile("septum", deadline=None, print_blob=True)  # busy machines make wall-clock deadlines flaky
settings.load_profile("septum")
