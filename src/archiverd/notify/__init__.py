"""Notifications of failures and repairs by mail and Slack, and metrics for Carbon. Nothing here delays archiving."""
