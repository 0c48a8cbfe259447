"""The hosts of browser pages: gate, host, server of teleoperation, wire protocol, drawn scene."""
