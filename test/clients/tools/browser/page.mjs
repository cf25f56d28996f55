/** A page that uses the package as its readme says, with whatever wallet announces itself. */
// biome-ignore lint/correctness/noUndeclaredDependencies: the test installs it, as it is packed
import { defineTributaryChain, tributaryActions } from 'tributary/client'
import { createPublicClient, createWalletClient, custom, http, keccak256 } from 'viem'

const STRANGER = '0x00000000000000000000000000000000000c0dec'

globalThis.play = async ({ rpc, chainId }) => {
  const { info, provider } = await announced()
  const [account] = await provider.request({ method: 'eth_requestAccounts' })
  const chain = defineTributaryChain({ id: chainId, rpcUrl: rpc })
  const node = createPublicClient({ chain, transport: http(), pollingInterval: 100 })
  const wallet = createWalletClient({ chain, account, transport: custom(provider) }).extend(tributaryActions({ node }))
  const included = async (sent) => node.waitForTransactionReceipt({ hash: await sent })

  const created = await included(wallet.createDatanet({ name: 'poems', licence: 3 }))
  const datanetId = Number(created.logs[0].topics[1])
  const records = { contentRoot: keccak256('0x01'), contentId: '0x0155', recordCount: 3, byteCount: 99n }
  const uploaded = await included(wallet.uploadToDatanet({ datanetId, ...records }))
  const paid = await included(wallet.sendTransaction({ to: STRANGER, value: 7n }))
  const refused = await wallet.uploadToDatanet({ datanetId, ...records, recordCount: 0 }).catch(({ name, code }) => ({ name, code }))
  const upload = await wallet.getUpload({ datanetId, uploadIndex: 0 })
  const result = {
    wallet: info.name,
    statuses: [created, uploaded, paid].map(({ status, type }) => [status, type]),
    upload,
    refused,
    received: await node.getBalance({ address: STRANGER }),
  }
  return JSON.stringify(result, (_, value) => (typeof value === 'bigint' ? value.toString() : value))
}

/** The first wallet that answers. */
function announced() {
  return new Promise((resolve) => {
    addEventListener('eip6963:announceProvider', ({ detail }) => resolve(detail))
    dispatchEvent(new Event('eip6963:requestProvider'))
  })
}
