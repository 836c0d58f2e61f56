// Each flow by npm's oauth4webapi, which checks every answer against its RFC and mends nothing.
import { compactDecrypt, exportJWK, generateKeyPair } from 'jose'
import * as oauth from 'oauth4webapi'
import { allow, authorize, done } from './person.mjs'

const { issuer, redirectUri, email, backend, bank, gateway } = JSON.parse(process.argv[2])
// The issuer is on loopback, without TLS.
const insecure = { [oauth.allowInsecureRequests]: true }
const base = new URL(issuer)
const discovered = (algorithm) =>
  oauth
    .discoveryRequest(base, { algorithm, ...insecure })
    .then((response) => oauth.processDiscoveryResponse(base, response))
const as = await discovered('oidc')
const SCOPE = 'openid profile email offline_access'

/** What oauth4webapi threw, by OAuth's code. */
async function refused(promise) {
  const error = await promise.then(
    () => undefined,
    (error) => error,
  )
  return error?.error ?? `no error of OAuth's: ${error}`
}

/** Asks again with the server's nonce, if that is what it wants (RFC 9449 §8). */
let nonces = 0
async function again(request, process) {
  try {
    return await process(await request())
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    nonces += 1
    return process(await request())
  }
}

/** A client that registers itself (RFC 7591). */
async function register(metadata) {
  const response = await oauth.dynamicClientRegistrationRequest(as, metadata, insecure)
  return oauth.processDynamicClientRegistrationResponse(response)
}

/** An authorization request's parameters, and what is remembered of it. */
async function request(client, more) {
  const verifier = oauth.generateRandomCodeVerifier()
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
  const parameters = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri: redirectUri,
    response_type: 'code',
    scope: SCOPE,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    ...more,
  })
  return { parameters, verifier, state, nonce }
}

const authorization = (parameters) => `${as.authorization_endpoint}?${new URLSearchParams(parameters)}`

/** Redeems what a callback brought; checks `iss` and `state`, the ID token and its signature, and userinfo. */
async function redeem(client, auth, callback, { verifier, state, nonce }, options) {
  const answer = oauth.validateAuthResponse(as, client, callback, state)
  let response
  const tokens = await again(
    async () =>
      (response = await oauth.authorizationCodeGrantRequest(as, client, auth, answer, redirectUri, verifier, options)),
    (response) =>
      oauth.processAuthorizationCodeResponse(as, client, response, { expectedNonce: nonce, requireIdToken: true }),
  )
  await oauth.validateApplicationLevelSignature(as, response, insecure)
  const { sub } = oauth.getValidatedIdTokenClaims(tokens)
  const userinfo = await again(
    () => oauth.userInfoRequest(as, client, tokens.access_token, options),
    (response) => oauth.processUserInfoResponse(as, client, sub, response),
  )
  return { tokens, userinfo }
}

async function refresh(client, auth, token, options) {
  return again(
    () => oauth.refreshTokenGrantRequest(as, client, auth, token, options),
    (response) => oauth.processRefreshTokenResponse(as, client, response),
  )
}

async function introspect(client, auth, token, options) {
  const response = await oauth.introspectionRequest(as, client, auth, token, { ...options, ...insecure })
  const told = await oauth.processIntrospectionResponse(as, client, response)
  if (options?.requestJwtResponse) await oauth.validateApplicationLevelSignature(as, response, insecure)
  return told
}

/** As a strict resource server judges the access token (RFC 9068), and the proof beside it if there is one (RFC 9449). */
async function asResourceServer(token, DPoP) {
  let shown
  const capture = async (url, init) => {
    shown = new Request(url, init)
    return new Response()
  }
  const options = { DPoP, [oauth.customFetch]: capture, ...insecure }
  await oauth.protectedResourceRequest(token, 'GET', new URL('http://127.0.0.1/orders'), undefined, undefined, options)
  return oauth.validateJwtAccessToken(as, shown, issuer, { requireDPoP: DPoP !== undefined, ...insecure })
}

/** Public, by PKCE alone. */
async function single_page() {
  const client = await register({ token_endpoint_auth_method: 'none', redirect_uris: [redirectUri] })
  const asked = await request(client)
  const callback = await authorize(authorization(asked.parameters))
  const { tokens, userinfo } = await redeem(client, oauth.None(), callback, asked, insecure)
  const claims = await asResourceServer(tokens.access_token)
  // Nobody is signed in in another browser; the error has the state and the issuer, too.
  const silent = await request(client, { prompt: 'none' })
  const error = await authorize(authorization(silent.parameters))
  let told
  try {
    oauth.validateAuthResponse(as, client, error, silent.state)
  } catch (error) {
    told = error.error
  }
  return { userinfo, audience: claims.aud, silent: told }
}

/** With a secret: refresh, introspection in both forms, revocation. */
async function web() {
  const client = { client_id: backend.client_id }
  const auth = oauth.ClientSecretBasic(backend.client_secret)
  const asked = await request(client)
  const callback = await authorize(authorization(asked.parameters))
  const { tokens, userinfo } = await redeem(client, auth, callback, asked, insecure)
  const next = await refresh(client, auth, tokens.refresh_token, insecure)
  const json = await introspect(client, auth, next.access_token)
  const jwt = await introspect(client, auth, next.access_token, { requestJwtResponse: true })
  const exchanged = await exchange(next.access_token)
  const hint = { token_type_hint: 'access_token' }
  const revocation = { additionalParameters: hint, ...insecure }
  await oauth.processRevocationResponse(
    await oauth.revocationRequest(as, client, auth, next.refresh_token, revocation),
  )
  return {
    userinfo,
    introspected: [json.active, json.sub, jwt.active, jwt.sub],
    revoked: await introspect(client, auth, next.access_token),
    replayed: await refused(refresh(client, auth, tokens.refresh_token, insecure)),
    exchanged,
  }
}

/** Token exchange (RFC 8693). */
async function exchange(subject_token) {
  const client = { client_id: gateway.client_id }
  const response = await oauth.genericTokenEndpointRequest(
    as,
    client,
    oauth.ClientSecretBasic(gateway.client_secret),
    'urn:ietf:params:oauth:grant-type:token-exchange',
    { subject_token, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token', scope: 'profile' },
    insecure,
  )
  const tokens = await oauth.processGenericTokenEndpointResponse(as, client, response)
  return tokens.scope ?? 'profile'
}

/** As FAPI 2.0 has it: `private_key_jwt`, everything pushed, everything bound by DPoP with the server's nonces. */
async function strict() {
  const pair = await oauth.generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(pair.publicKey)), kid: 'k', use: 'sig', alg: 'ES256' }
  const client = await register({
    redirect_uris: [redirectUri],
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [jwk] },
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    require_pushed_authorization_requests: true,
    dpop_bound_access_tokens: true,
  })
  const auth = oauth.PrivateKeyJwt({ key: pair.privateKey, kid: 'k' })
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'))
  const options = { DPoP, ...insecure }

  const asked = await request(client)
  const pushed = await again(
    () => oauth.pushedAuthorizationRequest(as, client, auth, asked.parameters, options),
    (response) => oauth.processPushedAuthorizationResponse(as, client, response),
  )
  const callback = await authorize(authorization({ client_id: client.client_id, request_uri: pushed.request_uri }))
  const { tokens, userinfo } = await redeem(client, auth, callback, asked, options)
  const claims = await asResourceServer(tokens.access_token, DPoP)
  const next = await refresh(client, auth, tokens.refresh_token, options)
  const stolen = { DPoP: oauth.DPoP(client, await oauth.generateKeyPair('ES256')), ...insecure }
  const machine = await again(
    () => oauth.clientCredentialsGrantRequest(as, client, auth, {}, options),
    (response) => oauth.processClientCredentialsResponse(as, client, response),
  )
  const told = await introspect(client, auth, machine.access_token)
  // A resource server that asks for a proof by another key.
  const other = await refused(
    again(
      () => oauth.userInfoRequest(as, client, next.access_token, stolen),
      (response) => oauth.processUserInfoResponse(as, client, oauth.skipSubjectCheck, response),
    ).catch((error) => {
      throw { error: error.cause?.[0]?.parameters?.error ?? String(error) }
    }),
  )
  return {
    userinfo,
    types: [tokens.token_type, next.token_type, machine.token_type],
    bound: claims.cnf.jkt === (await DPoP.calculateThumbprint()),
    introspected: [told.active, told.token_type, told.cnf?.jkt === claims.cnf.jkt],
    not_pushed: (await authorize(authorization(asked.parameters))).searchParams.get('error'),
    other,
  }
}

/** With the secret in the form. */
async function posted() {
  const client = await register({
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'],
  })
  const auth = oauth.ClientSecretPost(client.client_secret)
  const response = await oauth.clientCredentialsGrantRequest(as, client, auth, {}, insecure)
  const tokens = await oauth.processClientCredentialsResponse(as, client, response)
  return (await asResourceServer(tokens.access_token)).sub === client.client_id
}

/** With an HMAC by the secret; a resource server of RFC 9701 whose answers are signed so and encrypted to its key. */
async function hmac() {
  const { publicKey, privateKey } = await generateKeyPair('ECDH-ES', { crv: 'P-256', extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'e', use: 'enc', alg: 'ECDH-ES' }
  const client = await register({
    token_endpoint_auth_method: 'client_secret_jwt',
    token_endpoint_auth_signing_alg: 'HS256',
    grant_types: ['client_credentials'],
    introspection_signed_response_alg: 'ES256',
    introspection_encrypted_response_alg: 'ECDH-ES',
    introspection_encrypted_response_enc: 'A256GCM',
    jwks: { keys: [jwk] },
  })
  const auth = oauth.ClientSecretJwt(client.client_secret)
  const response = await oauth.clientCredentialsGrantRequest(as, client, auth, {}, insecure)
  const { access_token } = await oauth.processClientCredentialsResponse(as, client, response)
  const json = await introspect(client, auth, access_token, { requestJwtResponse: false })
  const asked = { requestJwtResponse: true, ...insecure }
  const sealed = await oauth.introspectionRequest(as, client, auth, access_token, asked)
  let opened
  const told = await oauth.processIntrospectionResponse(as, client, sealed, {
    [oauth.jweDecrypt]: async (jwe) => {
      const { plaintext, protectedHeader } = await compactDecrypt(jwe, privateKey)
      opened = protectedHeader
      return new TextDecoder().decode(plaintext)
    },
  })
  await oauth.validateApplicationLevelSignature(as, sealed, insecure)
  return [json.active, told.active, told.client_id === client.client_id, opened.alg, opened.enc, opened.cty]
}

/** RFC 8628. */
async function device() {
  const grant = 'urn:ietf:params:oauth:grant-type:device_code'
  const client = await register({ token_endpoint_auth_method: 'none', grant_types: [grant, 'refresh_token'] })
  const auth = oauth.None()
  const begun = await oauth.processDeviceAuthorizationResponse(
    as,
    client,
    await oauth.deviceAuthorizationRequest(as, client, auth, { scope: SCOPE }, insecure),
  )
  await allow(begun.verification_uri_complete)
  const response = await oauth.deviceCodeGrantRequest(as, client, auth, begun.device_code, insecure)
  const tokens = await oauth.processDeviceCodeResponse(as, client, response)
  await oauth.validateApplicationLevelSignature(as, response, insecure)
  return oauth.getValidatedIdTokenClaims(tokens).sub
}

/** OIDC CIBA. */
async function ciba() {
  const client = { client_id: bank.client_id }
  const auth = oauth.ClientSecretBasic(bank.client_secret)
  const begun = await oauth.processBackchannelAuthenticationResponse(
    as,
    client,
    await oauth.backchannelAuthenticationRequest(as, client, auth, { scope: 'openid', login_hint: email }, insecure),
  )
  await allow(`${issuer}/account`)
  const response = await oauth.backchannelAuthenticationGrantRequest(as, client, auth, begun.auth_req_id, insecure)
  const tokens = await oauth.processBackchannelAuthenticationGrantResponse(as, client, response)
  await oauth.validateApplicationLevelSignature(as, response, insecure)
  return oauth.getValidatedIdTokenClaims(tokens).sub
}

/** RFC 9728. */
async function resource() {
  const userinfo = new URL(as.userinfo_endpoint)
  const response = await oauth.resourceDiscoveryRequest(userinfo, insecure)
  return (await oauth.processResourceDiscoveryResponse(userinfo, response)).authorization_servers
}

const outcome = { same: (await discovered('oauth2')).token_endpoint === as.token_endpoint }
for (const flow of [single_page, web, strict, posted, hmac, device, ciba, resource]) {
  outcome[flow.name] = await flow()
}
done({ ...outcome, nonces })
