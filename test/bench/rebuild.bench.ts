/**
 * rebuild: a chain rebuilt from L1 alone, as `tributary verify` does it, against applying the same blocks to an empty store, and against the time in which
 * a node made them. The batches are in call data on an L1 node. Documented in docs/benchmarks.md.
 *
 *     node test/bench/rebuild.bench.ts [--txs 100000] [--block 1000] [--senders 1000] [--json]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hex, toHex } from 'viem'
import { aggregateSignatures } from '../../consensus/bls.ts'
import { buildCommit } from '../../consensus/certificate.ts'
import { encodeMessage } from '../../consensus/message.ts'
import { applyBlock } from '../../execution/applyBlock.ts'
import type { Header } from '../../execution/block.ts'
import { buildBlock } from '../../execution/buildBlock.ts'
import { keccak256 } from '../../execution/keccak.ts'
import { decodeTx } from '../../execution/tx.ts'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { encodeGenesis, type Genesis } from '../../genesis/genesis.ts'
import { OPEN_WEI } from '../../genesis/params.ts'
import { createBatchWork } from '../../node/batchWork.ts'
import { type ChainState, openChainState } from '../../node/chainState.ts'
import { createLog } from '../../node/log.ts'
import { createRecoverPool } from '../../node/recoverPool.ts'
import { openStore, type Store } from '../../node/store.ts'
import { verifyFromL1 } from '../../node/verify.ts'
import { batchInboxAbi } from '../../settlement/abi.ts'
import { ANY_COUNT, CALL_DATA_BYTES_MAX, encodePostBatch } from '../../settlement/inbox.ts'
import { CHAIN_ID, setOf, signatureOf } from '../consensus/fixtures.ts'
import { ANVIL_ACCOUNTS, startAnvil } from '../fakes/anvil.ts'
import { mined, STAGE_CHECKPOINTS, type StageClient, stageClient } from '../fakes/l1Stage.ts'
import { publishRollup } from '../fakes/rollupOnL1.ts'
import { testGenesis } from '../fakes/testChain.ts'
import { type Cost, costOf, digits, progress, readOptions, report, textTable, times } from './measure.ts'
import { nativeOperation, type Signer, type Stage, signCall, signer, signers } from './operations.ts'
import { setStage } from './stage.ts'

const options = readOptions({ txs: 100_000, block: 800, senders: 1_000 })
/** Blocks of this time are what a node makes under load. */
const BLOCK_MS = DEVNET_PARAMS.maxBlockIntervalMs
const FEE_RECIPIENT: Hex = '0x00000000000000000000000000000000000000fe'
/** Of a batch in call data: what the gas of one transaction pays for. A pool of a mainnet takes less, and blobs. */
const PAYLOAD_BYTES_MAX = CALL_DATA_BYTES_MAX
/** Of ten transactions. */
const MIX = [
  'transfer',
  'upload',
  'transfer',
  'evmTransfer',
  'transfer',
  'upload',
  'transfer',
  'evmTransfer',
  'upload',
  'transfer',
] as const

/** Whose datanets uploads go to. */
const OWNER = signer('owner', 0)

const log = createLog({ level: 'error', json: false, write: (line) => process.stderr.write(line) })
const mempool = { txsMax: 0, bytesMax: 0, txsPerSenderMax: 0, nonceGapMax: 0, replacementPercent: 0 }
const folder = mkdtempSync(join(tmpdir(), 'tributary-rebuild-'))
const anvil = await startAnvil()
const recoverPool = createRecoverPool({ log })
try {
  await main()
} finally {
  await recoverPool.close()
  await anvil.stop()
  rmSync(folder, { recursive: true, force: true })
}

async function main(): Promise<void> {
  const client = stageClient(anvil.url, ANVIL_ACCOUNTS[0])
  const senders = signers('sender', options.senders)
  const genesis = await openRollup(client, senders)
  const live = await openStore(join(folder, 'live'), { durable: false })
  const txs = await makeChain(live, genesis, senders)
  const head = live.head() ?? 0n
  progress(`${head} blocks with ${txs} transactions are made`)
  const { batches, bytes } = await post(client, live, genesis)
  progress(`${batches} batches of ${bytes} bytes are posted`)
  const applied = await applyAll(live, genesis)
  const { value: rebuilt, cost } = await costOf(() =>
    verifyFromL1({ l1Url: anvil.url, beaconUrls: [], inbox: undefined, rpcUrl: undefined, onProgress() {} }),
  )
  const want = live.block(head)?.hash
  if (!rebuilt.ok || rebuilt.summary.head.hash !== want) throw new Error(`rebuilt ${rebuilt.summary.head.hash} in place of ${want}`)
  await live.close()
  printResult({ applied, rebuilt: cost, blocks: Number(head), txs, batches, bytes })
}

// ---- the chain ----------------------------------------------------------------------------------------------------------------------

/** The contracts, and a genesis file of one validator that names them, published. */
async function openRollup(client: StageClient, senders: readonly Signer[]): Promise<Genesis> {
  const accounts = [...senders, OWNER].map(({ address }) => ({ address, evmWei: 1_000_000n * OPEN_WEI, ledgerWei: 10_000_000n * OPEN_WEI }))
  const base = { ...testGenesis({ chainId: CHAIN_ID, blockGasLimit: 20_000_000_000n }), accounts }
  const checkpoints = { ...STAGE_CHECKPOINTS, fraudVerifier: client.account.address }
  return (await publishRollup(client, { base, set: setOf([1]), checkpoints })).genesis
}

/** Makes blocks of the mix and keeps them with their certificates. Answers how many transactions they have. */
async function makeChain(store: Store, genesis: Genesis, senders: readonly Signer[]): Promise<number> {
  const chain = await openChainState({ store, genesis, mempool, log, recover: recoverPool.recover })
  const { chainId } = genesis.params
  const nonces = new Map<string, bigint>()
  let parent = chain.head().header
  let total = 0
  const take = (lane: string, { address }: Signer) => {
    const nonce = nonces.get(lane + address) ?? 0n
    nonces.set(lane + address, nonce + 1n)
    return nonce
  }
  const include = async (raws: readonly Uint8Array[]) => {
    parent = await makeBlock(chain, parent, raws)
    total += raws.length
  }
  const ground = { chainId, nonceOf: async () => nonces.get(`native${OWNER.address}`) ?? 0n, lastDatanetId: async () => 0, include }
  const stand = await setStage(ground, { owner: OWNER, workers: [], clients: [], prepaidWei: 0n })
  const stage: Stage = { chainId, ...stand, clients: [], earners: [], receivers: senders.map(({ address }) => address) }
  for (let made = 0; made < options.txs; made += options.block) {
    const raws = Array.from({ length: Math.min(options.block, options.txs - made) }, (_, i) => {
      const number = made + i
      const kind = MIX[number % MIX.length] ?? 'transfer'
      const sender = senders[(number * 7_919) % senders.length] as Signer
      if (kind !== 'evmTransfer') return nativeOperation(kind, stage, { number, sender, nonce: take('native', sender) })
      const to = senders[(number * 104_729 + 1) % senders.length]?.address ?? '0x'
      return signCall({ sender, nonce: take('ethereum', sender) }, chainId, { to, valueWei: 1_000_000_000n, gas: 21_000n })
    })
    await include(raws)
  }
  return total
}

async function makeBlock(chain: ChainState, parent: Header, raws: readonly Uint8Array[]): Promise<Header> {
  const { executor, store } = chain
  const offer = raws.map((raw) => {
    const decoded = decodeTx(raw, executor.vm.common)
    if (!decoded.ok) throw new Error(`an operation is malformed: ${decoded.code}`)
    return decoded.tx
  })
  const timestampMs = Number(parent.timestamp) * 1_000 + BLOCK_MS
  const built = await buildBlock(executor, {
    parent,
    timestampMs,
    feeRecipient: FEE_RECIPIENT,
    origin: undefined,
    offer,
    triesMax: raws.length,
  })
  const [left] = built.rejected
  if (left || built.transactions.length !== raws.length) throw new Error(`an operation was left out: ${left?.rejection.code ?? 'no room'}`)
  await store.writeBlock(built, certificateOf(Number(built.block.header.number), built.hash))
  return built.block.header
}

function certificateOf(height: number, blockHash: Hex): Uint8Array {
  const set = setOf([1])
  const statement = { kind: 'precommit', height, round: 0, validRound: -1, blockHash } as const
  const vote = { ...statement, validator: 0, signature: signatureOf(set, 0, statement) }
  return encodeMessage({ ...buildCommit(set, [vote], aggregateSignatures), blockHash })
}

// ---- L1 -----------------------------------------------------------------------------------------------------------------------------

/** Posts everything, a batch after another. */
async function post(client: StageClient, store: Store, genesis: Genesis): Promise<{ batches: number; bytes: number }> {
  const work = createBatchWork(store, genesis.params)
  const { inbox, origin } = genesis.l1
  const head = store.head() ?? 0n
  let prevAccumulator = toHex(keccak256(new TextEncoder().encode(encodeGenesis(genesis))))
  let [batches, bytes] = [0, 0]
  for (let firstBlock = 1n; firstBlock <= head; batches++) {
    const lastBlock = firstBlock + 1n < head ? firstBlock + 1n : head
    const limits = { payloadBytesMax: PAYLOAD_BYTES_MAX, singleBytesMax: PAYLOAD_BYTES_MAX }
    const made = work.make({ firstBlock, lastBlock, senders: [], index: BigInt(batches), ...limits })
    const place = { prevAccumulator, firstBlock, lastBlock: made.lastBlock, lastBlockHash: made.lastBlockHash }
    const header = { ...place, l1OriginNumber: origin.number, l1OriginHash: origin.hash, payloadBytes: made.payload.length }
    const posting = { certificate: made.certificate, next: BigInt(batches), count: ANY_COUNT, payload: made.payload }
    await mined(client, await client.sendTransaction({ to: inbox, data: encodePostBatch(header, posting), gas: 16_000_000n }))
    const read = { address: inbox, abi: batchInboxAbi, functionName: 'head' } as const
    prevAccumulator = (await client.readContract(read))[0]
    bytes += made.payload.length
    firstBlock = made.lastBlock + 1n
  }
  return { batches, bytes }
}

// ---- the peer -----------------------------------------------------------------------------------------------------------------------

/** Applies every block to an empty store, signatures recovered as a node does. */
async function applyAll(live: Store, genesis: Genesis): Promise<Cost> {
  const store = await openStore(join(folder, 'applied'), { durable: false })
  const { executor, ...chain } = await openChainState({ store, genesis, mempool, log, recover: recoverPool.recover })
  let parent = chain.head().header
  const { cost } = await costOf(async () => {
    for (let number = 1n; number <= (live.head() ?? 0n); number++) {
      const stored = live.block(number)
      if (!stored) throw new Error('a block is missing')
      const result = await applyBlock(executor, parent, stored.block)
      if (!result.ok || result.hash !== stored.hash) throw new Error('a block that was built does not apply')
      await store.writeBlock(result, new Uint8Array())
      parent = stored.block.header
    }
  })
  await store.close()
  return cost
}

// ---- result -------------------------------------------------------------------------------------------------------------------------

type Found = {
  readonly applied: Cost
  readonly rebuilt: Cost
  readonly blocks: number
  readonly txs: number
  readonly batches: number
  readonly bytes: number
}

function printResult({ applied, rebuilt, blocks, txs, batches, bytes }: Found): void {
  const ofApplyBlock = applied.processMs / rebuilt.processMs
  const ofApplyBlockByClock = applied.wallMs / rebuilt.wallMs
  const ofBlockTime = (blocks * BLOCK_MS) / rebuilt.wallMs
  const row = (name: string, { wallMs, mainMs, processMs, garbageMs }: Cost) => [
    name,
    ...[wallMs, mainMs, processMs, garbageMs].map((ms) => digits((ms * 1_000) / txs)),
  ]
  const text = [
    `${txs} transactions in ${blocks} blocks, ${batches} batches of ${bytes} bytes; µs a transaction`,
    textTable(['', 'by the clock', 'main thread', 'all threads', 'garbage'], [row('applyBlock', applied), row('rebuilt from L1', rebuilt)]),
    `of applyBlock's speed: ${times(ofApplyBlock)} by CPU, ${times(ofApplyBlockByClock)} by the clock; of a node's that makes a block a second: ${times(ofBlockTime)}`,
  ].join('\n\n')
  const figures = { ofApplyBlock, ofApplyBlockByClock, ofBlockTime, txs, blocks, batches, bytes, applied, rebuilt }
  report({ bench: 'rebuild', json: options.json, text, figures })
}
