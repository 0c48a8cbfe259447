"""The host of the browser page: server, wire protocol, drawn scene, certificate."""
