// A single-page application by npm's oidc-client-ts. `settings` stands in the page; the test calls the functions.
const manager = (scope, more) =>
  new oidc.UserManager({
    ...settings,
    ...more,
    scope,
    redirect_uri: `${location.origin}/callback`,
    silent_redirect_uri: `${location.origin}/silent`,
    post_logout_redirect_uri: `${location.origin}/bye`,
    userStore: new oidc.WebStorageStateStore({ store: localStorage }),
    automaticSilentRenew: false,
    loadUserInfo: true,
  })
const byRefresh = manager('openid profile email offline_access')
const byFrame = manager('openid profile email')

const shown = (user) => ({
  sub: user.profile.sub,
  name: user.profile.name,
  access: user.access_token,
  refresh: user.refresh_token ?? null,
})
const told = (error) => ({ error: error.error ?? String(error) })
const say = (text) => (document.body.innerText = text)

const app = {
  user: async (by) => shown(await by.getUser()),
  renew: (by) => by.signinSilent().then(shown, told),
  revoke: (by) => by.revokeTokens(['refresh_token']).then(() => 'revoked', told),
}

addEventListener('load', async () => {
  try {
    switch (location.pathname) {
      case '/callback':
        await byRefresh.signinCallback()
        return location.replace('/')
      case '/silent':
        return await byFrame.signinCallback()
      case '/bye':
        await byRefresh.signoutCallback()
        return say('Signed out')
    }
    const user = await byRefresh.getUser()
    say(user ? `Signed in as ${user.profile.name}` : 'Nobody')
  } catch (error) {
    say(`Failed: ${error}`)
  }
})
