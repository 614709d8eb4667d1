"""Who is told of failures and repairs: by mail, in Slack, and in figures for Carbon. Nothing here touches archiving."""
