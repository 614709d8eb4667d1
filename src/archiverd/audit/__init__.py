"""Whether what was archived is still so: reconcile, recovery, the anomalies and their remedies."""
