"""The emulated S3 and SQS that jobs read, write and tell."""

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


class Aws:
    """Clients for one endpoint. Credentials come from where boto3 looks; without any, `test`/`test`."""

    def __init__(self, endpoint, region):
        self.region = region
        session = boto3.Session(region_name=region)
        known = session.get_credentials()
        keys = {} if known else {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        config = Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"max_attempts": 3, "mode": "standard"},
            s3={"addressing_style": "path"},
        )
        self._s3 = session.client("s3", endpoint_url=endpoint, config=config, **keys)
        self._sqs = session.client("sqs", endpoint_url=endpoint, config=config, **keys)

    def has_bucket(self, bucket):
        try:
            self._s3.head_bucket(Bucket=bucket)
        except (ClientError, BotoCoreError):
            return False
        return True

    def download(self, bucket, key, path):
        """Whether the object was there and could be read."""
        try:
            self._s3.download_file(bucket, key, path)
        except (ClientError, BotoCoreError):
            return False
        return True

    def upload(self, path, bucket, key):
        self._s3.upload_file(path, bucket, key)

    def send(self, queue, body):
        self._sqs.send_message(QueueUrl=queue, MessageBody=body)


def split(uri):
    """`s3://bucket/key` as bucket and key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
