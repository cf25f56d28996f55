/** Transactions among nodes: what a broken link swallowed comes when the link is back. */
import { type Hex, hexToBytes } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, onTestFinished, test } from 'vitest'
import { createEpochSets } from '../../node/epochs.ts'
import { createPeers, createTransactionIntake } from '../../node/peers.ts'
import { openDiskChain, quietLog, testFolder } from '../fakes/diskChain.ts'
import { startTcpProxy } from '../fakes/tcpProxy.ts'
import { addressOf, testAccounts, testGenesis } from '../fakes/testChain.ts'
import { eventually } from '../p2p/peer.ts'

const genesis = testGenesis()

/** A node that follows, with its peers. */
async function startNode(bootstrap: readonly string[] = []) {
  const { chain } = await openDiskChain(genesis)
  const peers = await createPeers({
    dataDir: testFolder(),
    config: { host: '127.0.0.1', port: 0, bootstrap },
    chain,
    sets: createEpochSets(chain),
    isValidator: false,
    isOwn: () => false,
    log: quietLog,
    onTransactions() {},
    isBehind: () => false,
    hasBlock: () => false,
    onFinalBlock() {},
    onHeight() {},
    takeSigners: () => 'ignore',
    onPeer() {},
    onDelay() {},
  })
  onTestFinished(peers.close)
  return { chain, peers, address: peers.addresses[0] ?? '' }
}

async function transfer(nonce: number): Promise<Uint8Array> {
  const [account] = testAccounts
  if (!account) throw new Error('no account')
  const fees = { gas: 21_000n, maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n }
  return hexToBytes(
    await account.signTransaction({ chainId: genesis.params.chainId, nonce, to: addressOf(account), value: 1n, type: 'eip1559', ...fees }),
  )
}

const portOf = (address: string) => Number(/\/tcp\/(\d+)/.exec(address)?.[1])

test('a transaction that a broken link swallowed comes when the link is back', async () => {
  const far = await startNode()
  const to = portOf(far.address)
  const proxy = await startTcpProxy({ from: 0, to, seed: 1, delayMs: [0, 1], cutOneIn: Number.POSITIVE_INFINITY })
  onTestFinished(proxy.close)
  const near = await startNode([far.address.replace(`/tcp/${to}/`, `/tcp/${proxy.port}/`)])
  const pooled = () => far.chain.pool.size()

  await eventually(() => expect(near.peers.metrics()?.gossip.meshTransactions).toBe(1))
  expect(await near.chain.submit(await transfer(0))).toMatchObject({ ok: true })
  await eventually(() => expect(pooled()).toBe(1))

  proxy.swallow()
  const { published = 0 } = near.peers.metrics()?.gossip ?? {}
  expect(await near.chain.submit(await transfer(1))).toMatchObject({ ok: true })
  await eventually(() => expect(near.peers.metrics()?.gossip.published).toBeGreaterThan(published))
  expect(pooled()).toBe(1)
  proxy.heal()
  await eventually(() => expect(pooled()).toBe(2))
  expect(far.peers.metrics()?.gossip.rejected).toBe(0)
})

test('transactions of accounts without means are borne, then rejected, but not while this node is behind', async () => {
  const { chain } = await openDiskChain(genesis)
  let isBehind = true
  const intake = createTransactionIntake({ chain, log: quietLog, onTransactions() {}, isBehind: () => isBehind })
  const poor = privateKeyToAccount(`0x${'5e'.repeat(32)}`)
  const fees = { gas: 21_000n, maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n }
  const raw = hexToBytes(await poor.signTransaction({ chainId: genesis.params.chainId, nonce: 0, to: poor.address, value: 1n, ...fees }))
  const batch = Array.from({ length: 512 }, () => raw)
  const verdicts = async (count: number) => {
    const given = []
    for (let i = 0; i < count; i++) given.push(await intake.check(batch, 'poor'))
    return given
  }
  expect(await verdicts(10)).toEqual(Array(10).fill('ignore'))
  isBehind = false
  expect(await verdicts(7)).toEqual(Array(7).fill('ignore'))
  expect((await verdicts(6)).at(-1)).toBe('reject')
  // Others are judged for themselves, and what is good is taken from anybody.
  expect(await intake.check([raw], 'another')).toBe('ignore')
  expect(await intake.check([await transfer(0)], 'poor')).toBe('accept')
})

test('large transactions of accounts without means count for more', async () => {
  const { chain } = await openDiskChain(genesis)
  const intake = createTransactionIntake({ chain, log: quietLog, onTransactions() {}, isBehind: () => false })
  const poor = privateKeyToAccount(`0x${'5e'.repeat(32)}`)
  const fees = { gas: 6_000_000n, maxFeePerGas: 10n ** 12n, maxPriorityFeePerGas: 1n }
  const data: Hex = `0x${'ff'.repeat(100_000)}`
  const raw = hexToBytes(await poor.signTransaction({ chainId: genesis.params.chainId, nonce: 0, to: poor.address, data, ...fees }))
  const verdicts = []
  for (let i = 0; i < 400 && verdicts.at(-1) !== 'reject'; i++) verdicts.push(await intake.check([raw], 'poor'))
  // A hundred thousand bytes count as 25 transactions: 4,096 have room for some 160 of them.
  expect(verdicts.length).toBeGreaterThan(150)
  expect(verdicts.at(-1)).toBe('reject')
})
