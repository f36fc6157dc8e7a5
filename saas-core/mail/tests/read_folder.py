"""Prints the mails in a folder as JSON, as Python's parser reads them."""

import email
import email.policy
import json
import pathlib
import sys


def read(path):
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    sender, to = message["from"].addresses[0], message["to"].addresses[0]
    body = lambda kind: message.get_body((kind,)).get_content()
    return {
        "identity": message["message-id"],
        "from": (sender.display_name or None, sender.addr_spec),
        "to_name": to.display_name or None,
        "recipients": [address.addr_spec for name in ("to", "cc", "bcc") for header in message.get_all(name, []) for address in header.addresses],
        "subject": message["subject"],
        "text": body("plain"),
        "html": body("html"),
    }


print(json.dumps([read(path) for path in sorted(pathlib.Path(sys.argv[1]).glob("*.eml"))]))
