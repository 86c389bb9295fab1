"""A stand-in for AWS Elemental MediaConvert, for tests."""
