// npm's jose as a client that encrypts its requests. `keys` makes the pair that it signs with; `seal ISSUER ALG KEY CLAIMS`
// signs the claims, encrypts them to the key that the issuer publishes for that, and prints the JWT.
import { CompactEncrypt, exportJWK, generateKeyPair, importJWK, SignJWT } from 'jose'

const [mode, ...args] = process.argv.slice(2)

if (mode === 'keys') {
  const pair = await generateKeyPair('ES256', { extractable: true })
  const named = { kid: 's', use: 'sig', alg: 'ES256' }
  const [open, hidden] = await Promise.all([exportJWK(pair.publicKey), exportJWK(pair.privateKey)])
  console.log(JSON.stringify({ public: { ...open, ...named }, private: { ...hidden, ...named } }))
} else {
  const [issuer, alg, jwk, claims] = args
  const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
  const { keys } = await (await fetch(metadata.jwks_uri)).json()
  const kty = alg.startsWith('RSA') ? 'RSA' : 'EC'
  const to = keys.find((key) => key.use === 'enc' && key.kty === kty)
  const signed = await new SignJWT(JSON.parse(claims))
    .setProtectedHeader({ alg: 'ES256', kid: 's', typ: 'oauth-authz-req+jwt' })
    .sign(await importJWK(JSON.parse(jwk), 'ES256'))
  const sealed = await new CompactEncrypt(new TextEncoder().encode(signed))
    .setProtectedHeader({ alg, enc: 'A256GCM', cty: 'JWT', kid: to.kid })
    .encrypt(await importJWK(to, alg))
  console.log(JSON.stringify(sealed))
}
