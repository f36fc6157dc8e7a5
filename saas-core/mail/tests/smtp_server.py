"""An SMTP server (aiosmtpd) that behaves as a test tells it to.

    smtp_server.py none|starttls|implicit

It reads commands from stdin, one a line, and answers each with a line of JSON on stdout. It speaks first: its port, and the
certificate that vouches for its own, in base64.
"""

import asyncio
import base64
import datetime
import email
import email.policy
import ipaddress
import json
import ssl
import sys
import tempfile

from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = b"the-user", b"the-password"


class Handler:
    """Takes mails, or does not."""

    def __init__(self):
        self.manner = "takes_mails"
        self.mails = []
        self.connections = 0
        self.encrypted = []

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.manner == "refuses_us":
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.manner == "refuses_the_recipient":
            return f"550 5.1.1 <{address}>: no such user here"
        if self.manner == "later":
            return f"451 4.7.1 <{address}>: greylisted, come again in 17 seconds"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text = message.get_body(("plain",)).get_content()
        if self.manner == "refuses_the_mail":
            return f"554 5.7.1 to {envelope.rcpt_tos[0]}: this is spam: {text.splitlines()[0]}"
        if self.manner == "breaks_off":
            server.transport.abort()
            return "250 OK"
        sender, to = message["from"].addresses[0], message["to"].addresses[0]
        self.mails.append(
            {
                "identity": message["message-id"],
                "from_name": sender.display_name or None,
                "from": sender.addr_spec,
                "to_name": to.display_name or None,
                "recipients": envelope.rcpt_tos,
                "subject": message["subject"],
                "text": text,
                "html": message.get_body(("html",)).get_content(),
                "head": [name for name, _ in message.items()],
                "encrypted": session.ssl is not None or self.implicit,
                "login": session.auth_data.decode() if session.auth_data else None,
            }
        )
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, data):
        known = self.manner != "refuses_us" and (data.login, data.password) == (USER, PASSWORD)
        return AuthResult(success=known, handled=False, auth_data=data.login)


def certificates():
    """A certificate for this machine, the key in a file, and the certificate that vouches for it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    ends = now + datetime.timedelta(days=1)

    def made(name, issuer, key, issuer_key, *extensions):
        named = lambda text: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])
        builder = x509.CertificateBuilder(named(issuer), named(name), key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(ends)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(issuer_key, hashes.SHA256())

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = made("test root", "test root", root_key, root_key, x509.BasicConstraints(ca=True, path_length=0))
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    own = made("localhost", "test root", key, root_key, x509.SubjectAlternativeName(names))
    file = tempfile.NamedTemporaryFile(suffix=".pem")
    pem = serialization.Encoding.PEM
    file.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    file.write(own.public_bytes(pem))
    file.flush()
    return file, base64.b64encode(root.public_bytes(serialization.Encoding.DER)).decode()


async def main(tls):
    file, root = certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file.name)
    handler = Handler()
    handler.implicit = tls == "implicit"
    loop = asyncio.get_running_loop()
    transports = set()

    def protocol():
        handler.connections += 1
        starttls = {"tls_context": context, "require_starttls": True} if tls == "starttls" else {}
        smtp = SMTP(
            handler,
            loop=loop,
            enable_SMTPUTF8=True,
            authenticator=handler.authenticate,
            auth_required=tls != "none",
            auth_require_tls=tls == "starttls",
            **starttls,
        )
        made = smtp.connection_made

        def connection_made(transport):
            transports.add(transport)
            made(transport)

        smtp.connection_made = connection_made
        return smtp

    async def listen(port):
        return await loop.create_server(protocol, "127.0.0.1", port, ssl=context if handler.implicit else None)

    server = await listen(0)
    port = server.sockets[0].getsockname()[1]

    def say(value):
        print(json.dumps(value), flush=True)

    say({"port": port, "root": root})
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := (await commands.readline()).decode().strip():
        if line == "received":
            say(handler.mails)
            continue
        if line == "connections":
            say(handler.connections)
            continue
        handler.manner = line
        if line == "away":
            server.close()
            for transport in transports:
                transport.abort()
            transports.clear()
            server = None
        elif server is None:
            server = await listen(port)
        say(None)


asyncio.run(main(sys.argv[1]))
