"""The code flow, assertions, refresh, introspection and revocation by PyPI's Authlib, with requests and with httpx."""

import asyncio
import json
import sys

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import ClientSecretJWT, PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

arguments = json.loads(sys.argv[1])
issuer, redirect_uri = arguments["issuer"], arguments["redirectUri"]
metadata = requests.get(get_well_known_url(issuer, external=True)).json()
OpenIDProviderMetadata(metadata).validate()
AuthorizationServerMetadata(metadata).validate()
keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"]).json())
SCOPE = "openid profile email offline_access"


def authorize(url):
    """The test is the person at the browser."""
    print(json.dumps({"authorize": url}), flush=True)
    return sys.stdin.readline().strip()


def id_token(tokens, client_id, nonce):
    token = jwt.decode(tokens["id_token"], keys, algorithms=metadata["id_token_signing_alg_values_supported"])
    essential = {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client_id}}
    parameters = {"nonce": nonce, "client_id": client_id, "access_token": tokens["access_token"]}
    claims = CodeIDToken(token.claims, token.header, essential, parameters)
    claims.validate()
    return claims


def sign_in(client_id, client_secret):
    """The code flow; then the session renews an access token that it takes for expired by itself."""
    renewed = []
    session = OAuth2Session(
        client_id,
        client_secret,
        scope=SCOPE,
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
        token_endpoint=metadata["token_endpoint"],
        update_token=lambda token, refresh_token=None, access_token=None: renewed.append(refresh_token),
    )
    verifier, nonce = generate_token(48), generate_token(20)
    url, state = session.create_authorization_url(
        metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce
    )
    callback = authorize(url)
    tokens = session.fetch_token(authorization_response=callback, code_verifier=verifier, state=state)
    claims = id_token(tokens, client_id, nonce)
    first = tokens["refresh_token"]
    session.token = {**tokens, "expires_at": 1}
    userinfo = session.get(metadata["userinfo_endpoint"]).json()
    outcome = {
        "sub": claims["sub"],
        "userinfo": userinfo,
        "renewed": renewed == [first] and session.token["access_token"] != tokens["access_token"],
    }
    if client_secret:
        told = session.introspect_token(metadata["introspection_endpoint"], token=session.token["access_token"]).json()
        outcome["introspected"] = [told["active"], told["sub"]]
    revoked = session.revoke_token(
        metadata["revocation_endpoint"], token=session.token["refresh_token"], token_type_hint="refresh_token"
    )
    outcome["revoked"] = revoked.status_code
    try:
        session.refresh_token(metadata["token_endpoint"], refresh_token=session.token["refresh_token"])
    except OAuthError as error:
        outcome["afterwards"] = error.error
    return outcome


async def machines():
    """Clients of their own, with httpx. Authlib registers no clients, so that is a request by hand (RFC 7591)."""
    key = ECKey.generate_key("P-256", {"kid": "k", "alg": "ES256", "use": "sig"})
    signing = requests.post(
        metadata["registration_endpoint"],
        json={
            "grant_types": ["client_credentials"],
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [key.as_dict(private=False)]},
        },
    ).json()
    posting = requests.post(
        metadata["registration_endpoint"],
        json={"grant_types": ["client_credentials"], "token_endpoint_auth_method": "client_secret_post"},
    ).json()
    sealing = requests.post(
        metadata["registration_endpoint"],
        json={
            "grant_types": ["client_credentials"],
            "token_endpoint_auth_method": "client_secret_jwt",
            "token_endpoint_auth_signing_alg": "HS512",
        },
    ).json()
    outcome = []
    by_secret = ClientSecretJWT(metadata["token_endpoint"], alg="HS512")
    by_key = PrivateKeyJWT(metadata["token_endpoint"], headers={"kid": "k"}, alg="ES256")
    for method, registered, secret in [
        (by_key, signing, key),
        (by_secret, sealing, sealing["client_secret"]),
        (None, posting, posting["client_secret"]),
    ]:
        name = registered["token_endpoint_auth_method"]
        async with AsyncOAuth2Client(registered["client_id"], secret, token_endpoint_auth_method=name) as client:
            if method:
                client.register_client_auth_method(method)
            tokens = await client.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")
            told = await client.introspect_token(metadata["introspection_endpoint"], token=tokens["access_token"])
            outcome.append([name, told.json()["active"], told.json()["client_id"] == registered["client_id"]])
    return outcome


done = {
    "clients": [sign_in(client["client_id"], client["client_secret"]) for client in arguments["clients"]],
    "machines": asyncio.run(machines()),
}
print(json.dumps({"done": done}), flush=True)
