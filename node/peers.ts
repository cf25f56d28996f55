/**
 * The node's peers: joins host, gossip and block sync with the chain. Transactions that came in here go out to others, those of others come into the
 * pool, final blocks are told of, served, and handed to whoever follows. Spec: docs/spec/p2p.md
 */
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { decodeMessage } from '../consensus/message.ts'
import { encodeBlock, type Header } from '../execution/block.ts'
import type { PoolTx } from '../execution/mempool.ts'
import { transactionHash } from '../execution/native/native.ts'
import { createBudgets } from '../p2p/budget.ts'
import type { Verdict } from '../p2p/gossip.ts'
import type { Sync } from '../p2p/sync.ts'
import type { BlockNews, CertifiedBlock } from '../p2p/wire.ts'
import { type ChainState, createQueue, type TxSource } from './chainState.ts'
import type { EpochSets } from './epochs.ts'
import { checkCommitment, checkFinal, type FinalBlock } from './follower.ts'
import { loadKeyMaterial } from './keys.ts'
import type { Log } from './log.ts'
import type { LoopDelay } from './loopDelay.ts'
import { type ChildDirect, type ChildDirectPorts, type ChildMetrics, openChildNetwork } from './p2pChild.ts'
import { createResend, RESEND_TICK_MS } from './resend.ts'

/** Where this node meets others. */
export type PeersConfig = { readonly host: string; readonly port: number; readonly bootstrap: readonly string[] }

export type PeersOptions = {
  readonly dataDir: string
  readonly config: PeersConfig
  readonly chain: ChainState
  readonly sets: EpochSets
  /** Whether this node makes blocks: it tells others of them, and need not send transactions to others if it is the only one. */
  readonly isValidator: boolean
  /** Whether this node proposed the block: who did tells followers of it. Others' certificates have other signers, and would go round beside it. */
  isOwn(header: Header): boolean
  readonly log: Log
  /** Others sent transactions that are in the pool now. */
  onTransactions(): void
  /** Whether certificates prove more blocks than are here. */
  isBehind(): boolean
  /** Whether the block of this height is of no interest any more. */
  hasBlock(number: bigint): boolean
  /** A block ahead of the head that a quorum made final. */
  onFinalBlock(final: FinalBlock): void
  /** A certificate proves that this height exists. */
  onHeight(number: bigint): void
  /** Who signed a checkpoint, as a peer says. */
  takeSigners(signers: Uint8Array): Verdict
  /** A peer that serves blocks has come. */
  onPeer(): void
  /** What this node says and hears on direct streams between validators; without it there are none. */
  readonly direct?: ChildDirectPorts | undefined
  /** A window of the delays of the network's event loop is over. */
  onDelay(delay: LoopDelay): void
}

export type Peers = Pick<Sync, 'request' | 'blame'> & {
  /** Tells all nodes who signed a checkpoint. */
  sendSigners(signers: Uint8Array): void
  /** Multiaddrs by which others reach this node. */
  readonly addresses: readonly string[]
  /** Direct streams between validators, if they were asked for. */
  readonly direct: ChildDirect | undefined
  /** Peers that it is connected to. */
  count(): number
  /** Of the network and its process, a moment ago; undefined: nothing is known yet. */
  metrics(): ChildMetrics | undefined
  close(): Promise<void>
}

/** Refusals of the pool that say nothing of who sent the transaction: another state, or a fuller pool, would have taken it. */
const PASSING = new Set(['nonceTooHigh', 'insufficientFunds', 'feeTooLow', 'replacementUnderpriced', 'senderFull', 'poolFull'])

/** Refusals that cost the recovery of a signature, and that the sender's own pool would have given as well. */
const UNFIT = new Set(['nonceTooHigh', 'insufficientFunds', 'nonceTooLow'])
/** Such transactions of one peer, and how many bytes count as one more. Of correct peers they are few: heads differ for a moment. */
const UNFIT_TXS = { perSec: 100, burst: 4_096 }
const UNFIT_BYTES = 4_096

/** Refusals of what is here, or was. */
const OLD = new Set(['alreadyKnown', 'nonceTooLow'])

/** Transactions judged before the event loop gets a turn. */
const TXS_PER_TURN = 32

/** Opens the node to others. Throws P2pError if it cannot listen. */
export async function createPeers(options: PeersOptions): Promise<Peers> {
  const { dataDir, config, chain, sets, isValidator, log } = options
  const { genesisHash, store, pool } = chain
  const takeTransactions = createTransactionIntake(options)
  const resend = createResend({ rawOf: (hash) => pool.get(hash)?.raw, send: (raw) => network.sendTransaction(raw), nowMs: Date.now })
  const network = await openChildNetwork(
    {
      checkTransactions: takeTransactions.check,
      checkBlock: async (news, from) => {
        const verdict = news.kind === 'checkpoint' ? options.takeSigners(news.signers) : takeNews(options, news)
        if (verdict === 'reject') log.debug('gossip of a block that is not final, or of a checkpoint without a quorum', { peer: from })
        return verdict
      },
      readBlock: (number) => readCertified(chain, number),
      onPeer() {
        resend.connected()
        options.onPeer()
      },
      direct: options.direct,
      onDelay: options.onDelay,
    },
    {
      seed: loadKeyMaterial(join(dataDir, 'p2p.key'), { create: true }),
      genesisHash,
      listen: { host: config.host, port: config.port },
      bootstrap: config.bootstrap,
      log,
    },
  )

  const isAlone = () => isValidator && sets.next().validators.length === 1
  const send = ({ hash, raw }: PoolTx, source: TxSource) => {
    if (isAlone() || source === 'peer') return
    if (!network.sendTransaction(raw)) log.debug('too many transactions wait to be sent', { hash })
    resend.sent(hash)
  }
  const stopSending = chain.onPending(send)
  for (const tx of pool.all()) send(tx, 'client') // clients are served before there are peers
  const resendTimer = setInterval(resend.tick, RESEND_TICK_MS)
  const stopTelling = chain.onBlock(({ block }) => {
    if (!options.isOwn(block.header) || network.peers() === 0) return
    const commit = store.commit(block.header.number)
    if (commit) network.sendBlock({ commit, block: encodeBlock(block) })
  })

  return {
    addresses: network.addresses,
    direct: network.direct,
    count: network.peers,
    metrics: network.metrics,
    request: network.request,
    blame: network.blame,
    sendSigners: network.sendSigners,
    async close() {
      clearInterval(resendTimer)
      stopSending()
      stopTelling()
      await network.close()
    },
  }
}

function readCertified({ store }: ChainState, number: bigint): CertifiedBlock | undefined {
  const commit = store.commit(number)
  const stored = commit && store.block(number)
  return stored && { commit, block: encodeBlock(stored.block) }
}

type TransactionIntakeOptions = Pick<PeersOptions, 'chain' | 'log' | 'onTransactions' | 'isBehind'>

/** Takes others' transactions into the pool, one batch after another. A verdict of `reject` is a fault of who sent them. */
export function createTransactionIntake({ chain, log, onTransactions, isBehind }: TransactionIntakeOptions): {
  check(transactions: readonly Uint8Array[], from: string): Promise<Verdict>
} {
  const { pool, store } = chain
  const inTurn = createQueue()
  const unfit = createBudgets(UNFIT_TXS)

  /** What became of one transaction. */
  async function take(raw: Uint8Array, from: string): Promise<'taken' | 'known' | 'passed' | 'worthless'> {
    const hash = transactionHash(raw)
    if (pool.get(hash) || store.transaction(hash)) return 'known' // before its signature costs us time
    const result = await chain.submit(raw, 'peer')
    if (result.ok) return 'taken'
    // Whoever is behind cannot say what accounts have by now.
    if (UNFIT.has(result.code) && !isBehind() && !unfit.spend(from, 1 + raw.length / UNFIT_BYTES)) return 'worthless'
    if (OLD.has(result.code)) return 'known'
    return PASSING.has(result.code) ? 'passed' : 'worthless'
  }

  async function takeAll(transactions: readonly Uint8Array[], from: string): Promise<Verdict> {
    let taken = 0
    let known = 0
    let worthless = 0
    for (let at = 0; at < transactions.length && worthless === 0; at += TXS_PER_TURN) {
      if (at > 0) await nextTurn()
      const became = await Promise.all(transactions.slice(at, at + TXS_PER_TURN).map((raw) => take(raw, from)))
      taken += became.filter((one) => one === 'taken').length
      known += became.filter((one) => one === 'known').length
      worthless += became.filter((one) => one === 'worthless').length
    }
    if (taken > 0) onTransactions()
    if (worthless > 0) log.debug('gossip of transactions that can never be valid, or too many that cannot be now', { peer: from })
    if (worthless > 0) return 'reject'
    if (taken > 0) return 'accept'
    return known === transactions.length ? 'stale' : 'ignore'
  }

  return { check: (transactions, from) => inTurn(() => takeAll(transactions, from)) }
}

/** Judges news of a block and hands it on. */
function takeNews(
  { chain, sets, hasBlock, onFinalBlock, onHeight }: PeersOptions,
  news: Exclude<BlockNews, { kind: 'checkpoint' }>,
): Verdict {
  const decoded = decodeMessage(news.commit)
  if (!decoded.ok || decoded.value.kind !== 'commit') return 'reject'
  if (hasBlock(BigInt(decoded.value.height))) return 'stale'
  const { chainId } = chain.genesis.params
  if (news.kind === 'announcement') {
    const checked = checkCommitment(news.commit, sets.setAt, chainId)
    if (!checked.ok) return checked.code === 'unknownEpoch' ? 'ignore' : 'reject'
    onHeight(BigInt(checked.commit.height))
    return 'accept'
  }
  const checked = checkFinal(news, sets.setAt, chainId)
  if (!checked.ok) return checked.code === 'unknownEpoch' ? 'ignore' : 'reject'
  onFinalBlock(checked.final)
  return 'accept'
}
