/** The harness's adapter on a chain of ours, with a harness in miniature: its operations have to be ones that a block takes and that succeed. */
import { bytesToHex, type Hex, hexToBytes } from 'viem'
import { expect, test } from 'vitest'
import { getAccount, getCounters } from '../../execution/ledger/tables.ts'
import { TRANSFER_KIND, transfer } from '../../execution/native/transfer.ts'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { createTestChain, signNative, type TestChain, testAccounts } from '../fakes/testChain.ts'
import { seeded, signerFrom } from './operations.ts'
import { contributor, encode, type HarnessContext, type HarnessOperation, type HarnessRpc, harnessSender, setup } from './peersAdapter.ts'

const SENDERS = 3
const CONTRIBUTORS = 12
const KINDS = ['upload', 'credit10', 'model', 'receipt'] as const

/** The harness's client in front of a test chain: transactions wait until somebody asks for their receipts. */
function createHarnessRpc(chain: TestChain): { readonly rpc: HarnessRpc; include(raws: readonly Uint8Array[]): Promise<void> } {
  const { ledger } = chain.executor.state
  let waiting: Uint8Array[] = []
  async function include(raws: readonly Uint8Array[]): Promise<void> {
    if (raws.length === 0) return
    const { receipts, rejected } = await chain.next(raws.map((raw) => chain.decode(raw)))
    expect(rejected).toEqual([])
    expect(receipts.map(({ failureCode }) => failureCode)).toEqual(raws.map(() => undefined))
  }
  const answer = (method: string, [first]: readonly unknown[]): unknown => {
    if (method === 'tributary_getLedgerNonce') return `0x${getAccount(ledger, first as Hex).nonce.toString(16)}`
    if (method === 'tributary_getLedgerAccount') return getAccount(ledger, first as Hex)
    if (method === 'tributary_getCounters') return getCounters(ledger)
    if (method === 'eth_getTransactionCount') return '0x0'
    if (method !== 'eth_sendRawTransaction') throw new Error(`the harness asked for ${method}`)
    waiting.push(hexToBytes(first as Hex))
    return bytesToHex(seeded('hash'))
  }
  const shared: HarnessRpc = {
    call: async (method, params = []) => answer(method, params),
    batch: async (calls) => calls.map(([method, params]) => answer(method, params)),
    async waitReceipts() {
      const raws = waiting
      waiting = []
      await include(raws)
    },
  }
  return { rpc: Object.create(shared) as HarnessRpc, include }
}

/** The operation `number` of a kind, shaped as the harness shapes it. */
function operation(kind: (typeof KINDS)[number], number: number): HarnessOperation {
  const hash = seeded(`${kind} ${number}`)
  const datanetIds = [1_000n + (BigInt(number) % 64n), 1_063n, 1_000n]
  if (kind === 'model') return { kind, modelId: hash, datanetIds: [...datanetIds, 1_063n] }
  if (kind === 'receipt') return { kind, requestHash: hash }
  if (kind === 'credit10') {
    const to = Array.from({ length: 10 }, (_, i) => hexToBytes(contributor((i * 5 + number) % CONTRIBUTORS)))
    return { kind, receiptId: hash, to, amounts: to.map((_, i) => BigInt(1 + i * 400_000_000) * 10n ** 9n) }
  }
  return { kind, datanetId: datanetIds[0] ?? 0n, contentRoot: hash, cid: hash.slice(0, 30), records: 5n, size: 900n }
}

test('what the harness signs through the adapter is included and succeeds, and is counted by the senders’ ledger nonces', async () => {
  const chain = await createTestChain({ params: { blockGasLimit: 10n ** 10n, blockBytesMax: 1 << 26 } })
  const { rpc, include } = createHarnessRpc(chain)
  const { chainId } = chain.executor.params
  const [bank] = testAccounts
  if (!bank) throw new Error('there are test accounts')
  const funds = await Promise.all(
    DEVNET_KEYS.map((key, i) => {
      const from = testAccounts[i % testAccounts.length] ?? bank
      const fields = { kind: TRANSFER_KIND.ledger, to: signerFrom(hexToBytes(key)).address, amount: 990_000n * OPEN_WEI }
      return signNative(from, { type: transfer, fields, nonce: BigInt(Math.floor(i / testAccounts.length)), chainId })
    }),
  )
  await include(funds)

  const context: HarnessContext = { chainId, senders: SENDERS, setupTimeoutMs: 1_000, contributors: CONTRIBUTORS }
  await setup(context, rpc, KINDS)
  const copy = structuredClone(context) // as it reaches the threads that sign
  for (const kind of KINDS) {
    const senders = Array.from({ length: SENDERS }, (_, i) => harnessSender(kind, i))
    const nonces = async () => rpc.batch(senders.map(({ address }) => ['eth_getTransactionCount', [address, 'latest']] as const))
    const [before] = await nonces()
    const raws = Array.from({ length: 2 * SENDERS }, (_, i) => {
      const nonce = Number(before) + Math.floor(i / SENDERS)
      return encode(operation(kind, i), { nonce, key: senders[i % SENDERS]?.secret ?? new Uint8Array() }, copy)
    })
    await include(raws)
    expect(await nonces()).toEqual(senders.map(() => `0x${(Number(before) + 2).toString(16)}`))
  }
})
