// The code flow by npm's openid-client: discovery, PKCE, ID token, userinfo, refresh.
import * as client from 'openid-client'
import { authorize, done } from './person.mjs'

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
const tokens = await client.authorizationCodeGrant(config, await authorize(url), {
  pkceCodeVerifier: verifier,
  expectedState: state,
  expectedNonce: nonce,
  idTokenExpected: true,
})
const claims = tokens.claims()
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
done({ claims, userinfo, refreshed: Object.keys(refreshed).sort(), scope: tokens.scope })
