"""A mail server: takes mail for anybody and writes each into a file of a folder, whole, beside what it knows of the
conversation. Told by one argument, JSON: port, folder, and optionally cert and key (STARTTLS is then demanded), user
and password."""

import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

told = json.loads(sys.argv[1])


class Inbox:
    count = 0

    async def handle_DATA(self, server, session, envelope):
        Inbox.count += 1
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": session.ssl is not None,
            "authenticated": bool(session.authenticated),
            "data": envelope.content.decode("utf-8"),
        }
        path = os.path.join(told["folder"], f"{os.getpid()}-{Inbox.count}")
        with open(path + ".part", "w") as file:
            json.dump(mail, file)
        os.rename(path + ".part", path + ".json")
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    right = (told["user"].encode(), told["password"].encode())
    return AuthResult(success=(data.login, data.password) == right)


def conversation():
    options = {}
    if "cert" in told:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(told["cert"], told["key"])
        options.update(tls_context=context, require_starttls=True)
    if "user" in told:
        options.update(authenticator=authenticate, auth_required=True)
    return SMTP(Inbox(), hostname="mail.example", **options)


async def main():
    server = await asyncio.get_running_loop().create_server(conversation, "127.0.0.1", told["port"])
    async with server:
        await server.serve_forever()


asyncio.run(main())
