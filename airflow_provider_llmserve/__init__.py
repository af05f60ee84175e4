"""Deploy, scale and tear down served language models from Airflow, and know when they really answer."""

__version__ = "0.1.0"
