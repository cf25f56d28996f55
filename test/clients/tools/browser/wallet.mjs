/**
 * A wallet as an extension puts it into a page: an EIP-1193 provider, announced by EIP-6963, that holds a key and shows its owner what is asked for. It
 * knows nothing of this chain but a URL. What it was asked to sign or send is in `walletAsked`.
 */
import { createWalletClient, http, publicActions } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const { key, rpc } = globalThis.walletSetup
const account = privateKeyToAccount(key)
const wallet = createWalletClient({ account, transport: http(rpc) }).extend(publicActions)
const asked = []
globalThis.walletAsked = asked

const methods = {
  eth_requestAccounts: () => [account.address],
  eth_accounts: () => [account.address],
  eth_signTypedData_v4([from, json]) {
    const typedData = JSON.parse(json)
    asked.push({ from, primaryType: typedData.primaryType, message: typedData.message })
    return account.signTypedData(typedData)
  },
  async eth_sendTransaction([{ from, to, value, data }]) {
    asked.push({ from, to, value })
    const request = await wallet.prepareTransactionRequest({ to, value: BigInt(value ?? 0), data, chain: null })
    return wallet.sendRawTransaction({ serializedTransaction: await account.signTransaction(request) })
  },
}

const provider = {
  // What a wallet has no hand in it passes on; of this chain's own methods it knows none.
  async request({ method, params }) {
    if (methods[method]) return methods[method](params)
    if (/^(eth|net|web3)_/.test(method)) return wallet.request({ method, params })
    throw Object.assign(new Error(`the wallet does not know ${method}`), { code: 4200 })
  },
  on() {},
  removeListener() {},
}

const info = { uuid: '350670db-19fa-4704-a166-e52e178b59d2', name: 'Test wallet', icon: 'data:,', rdns: 'test.wallet' }
const announce = () => dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail: Object.freeze({ info, provider }) }))
addEventListener('eip6963:requestProvider', announce)
announce()
