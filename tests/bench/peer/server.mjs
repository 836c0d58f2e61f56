// npm's oidc-provider as it comes, with its in-memory adapter: one client that gets JWTs signed with ES256 for itself.
// Prints the port that it listens on.
import { generateKeyPairSync } from 'node:crypto'
import Provider from 'oidc-provider'

const [secret] = process.argv.slice(2)
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const resource = 'urn:example:api'
const provider = new Provider('http://127.0.0.1', {
  clients: [
    {
      client_id: 'machine',
      client_secret: secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: 'ES256',
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256', use: 'sig' }] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      getResourceServerInfo: () => ({ scope: '', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }),
    },
  },
  ttl: { ClientCredentials: 600 },
})
const server = provider.listen(0, '127.0.0.1', () => console.log(server.address().port))
