"""What every service of the shop shares: settings, logs, its database, events, calls to others, health. No business."""
