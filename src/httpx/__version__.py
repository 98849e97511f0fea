__title__ = "httpx"
__description__ = "A fast and trustworthy HTTP client for Python, sync and async."
__version__ = "0.28.2"
