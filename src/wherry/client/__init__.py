"""What client-go is: verbs over a transport, informers, events."""
