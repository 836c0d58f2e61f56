// The code flow by npm's openid-client: discovery, PKCE, ID token, userinfo, refresh.
// Prints the authorization URL as one line, reads the callback URL as one line, prints the outcome as one line of JSON.
import { createInterface } from 'node:readline/promises'
import * as client from 'openid-client'

const [issuer, clientId, clientSecret, redirectUri] = process.argv.slice(2)
const authentication = clientSecret ? client.ClientSecretBasic(clientSecret) : client.None()
const config = await client.discovery(new URL(issuer), clientId, undefined, authentication, {
  execute: [client.allowInsecureRequests],
})

const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: redirectUri,
  scope: 'openid email profile offline_access',
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state,
  nonce,
})
console.log(url.href)

const lines = createInterface({ input: process.stdin })
const callback = await new Promise((resolve) => lines.once('line', resolve))
lines.close()

const tokens = await client.authorizationCodeGrant(config, new URL(callback), {
  pkceCodeVerifier: verifier,
  expectedState: state,
  expectedNonce: nonce,
  idTokenExpected: true,
})
const claims = tokens.claims()
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
console.log(JSON.stringify({ claims, userinfo, refreshed: Object.keys(refreshed).sort(), scope: tokens.scope }))
