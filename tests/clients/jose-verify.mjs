// Verifies an access token (RFC 9068) and an ID token by npm's jose against the served key set; prints their claims.
import { createRemoteJWKSet, jwtVerify } from 'jose'

const [issuer, accessToken, audience, idToken, clientId] = process.argv.slice(2)
const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
const keys = createRemoteJWKSet(new URL(metadata.jwks_uri))
const access = await jwtVerify(accessToken, keys, { issuer, audience, typ: 'at+jwt', requiredClaims: ['sub', 'exp', 'jti'] })
const id = idToken ? await jwtVerify(idToken, keys, { issuer, audience: clientId }) : null
console.log(JSON.stringify({ access: access.payload, id: id?.payload, alg: access.protectedHeader.alg }))
