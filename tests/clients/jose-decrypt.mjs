// npm's jose as a client that is encrypted to. `keys ALG [CRV]` makes a key pair; `open ISSUER AUDIENCE KEY ID_TOKEN USERINFO`
// decrypts both, verifies what was signed within, and prints headers and claims.
import { compactDecrypt, createRemoteJWKSet, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose'

const [mode, ...args] = process.argv.slice(2)

if (mode === 'keys') {
  const [alg, crv] = args
  const pair = await generateKeyPair(alg, { crv, extractable: true })
  const named = { kid: 'e', use: 'enc', alg }
  const [open, hidden] = await Promise.all([exportJWK(pair.publicKey), exportJWK(pair.privateKey)])
  console.log(JSON.stringify({ public: { ...open, ...named }, private: { ...hidden, ...named } }))
} else {
  const [issuer, audience, jwk, ...tokens] = args
  const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri))
  const key = await importJWK(JSON.parse(jwk))
  const opened = await Promise.all(tokens.map(async (token) => {
    const { plaintext, protectedHeader: header } = await compactDecrypt(token, key)
    const text = new TextDecoder().decode(plaintext)
    const claims = header.cty === 'JWT' ? (await jwtVerify(text, keys, { issuer, audience })).payload : JSON.parse(text)
    return { header, claims }
  }))
  console.log(JSON.stringify(opened))
}
