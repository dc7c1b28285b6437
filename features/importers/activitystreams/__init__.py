"""ActivityStreams: outboxes of ActivityPub servers and Mastodon archives."""
