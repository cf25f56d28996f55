/**
 * The part of a node that is loaded behind its JSON-RPC: L1, peers, consensus and the poster, joined. Whoever asks is answered from the store meanwhile.
 */
import { join } from 'node:path'
import { indexOfKey, type ValidatorSet } from '../consensus/validatorSet.ts'
import { assert } from '../execution/assert.ts'
import { createLedger } from '../execution/ledger/ledger.ts'
import { getL1Info } from '../execution/ledger/tables.ts'
import { createKzg, type Kzg } from '../settlement/kzg.ts'
import { createL1, type L1 } from '../settlement/l1.ts'
import { createBatchThread } from './batchThread.ts'
import type { ChainState } from './chainState.ts'
import { createFollower } from './follower.ts'
import { openJournal } from './journal.ts'
import type { ValidatorKey } from './keys.ts'
import { createL1Follower, type L1Follower, type L1Status } from './l1Follower.ts'
import type { NodeOptions } from './node.ts'
import { createPeers } from './peers.ts'
import { createPoster } from './poster.ts'
import type { NetworkView } from './rpcChain.ts'
import { createValidator, type Validator } from './validator.ts'

/** What moves the head, a validator or a follower, with its peers; and what is known of L1. */
export type Engine = {
  readonly addresses: readonly string[]
  start(): void
  /** Something waits for a block. */
  wake(): void
  network(): NetworkView
  l1Status(): L1Status
}

export type EngineParts = {
  readonly chain: ChainState
  readonly set: ValidatorSet
  /** Takes, in order of their opening, what ends the parts. */
  readonly closers: (() => Promise<void> | void)[]
  onL1(status: L1Status): void
}

/** Opens L1, peers, consensus and the poster on a chain that is open. Throws what they throw, at once if L1 is another than the genesis file's. */
export async function openEngine(options: NodeOptions, parts: EngineParts): Promise<Engine> {
  const { chain, set, closers } = parts
  const { genesis, dataDir, log, onFatal } = options
  const l1 = openL1(options, createKzg())
  await l1.check()
  const follower = createL1Follower({
    l1,
    from: genesis.l1.origin,
    pollMs: options.l1.pollMs,
    log: log.child('l1'),
    onChange: parts.onL1,
    onFatal,
  })
  closers.push(() => follower.stop())
  const mover = await openMover(options, { chain, set, follower, closers })
  if (options.posting) {
    const poster = createPoster({
      chain,
      l1,
      batchThread: createBatchThread(join(dataDir, 'chain'), genesis.params),
      follower,
      log: log.child('poster'),
      poster: options.poster,
      submitter: options.submitter,
      validatorSetHash: set.hash,
      ...options.posting,
      onFatal,
    })
    closers.push(() => poster.stop())
  }
  return { ...mover, l1Status: follower.status }
}

type MoverParts = Pick<EngineParts, 'chain' | 'set' | 'closers'> & { readonly follower: L1Follower }

async function openMover(options: NodeOptions, { chain, set, follower, closers }: MoverParts): Promise<Omit<Engine, 'l1Status'>> {
  const { key, dataDir, log, onFatal } = options
  const validator = key && openValidator(options, { chain, set, key, follower, closers })
  const observer = key
    ? undefined
    : createFollower({
        chain,
        set,
        request: (request) => peers.request(request),
        blame: (peer, why) => peers.blame(peer, why),
        log: log.child('follower'),
        nowMs: Date.now,
        onFatal,
      })
  if (observer) closers.push(observer.stop)
  const peers = await createPeers({
    dataDir,
    config: options.p2p,
    chain,
    set,
    isValidator: key !== undefined,
    log: log.child('p2p'),
    onTransactions: () => validator?.wake(),
    hasBlock: (number) => observer?.has(number) ?? number <= chain.head().header.number,
    onFinalBlock: (final) => {
      if (observer) observer.takeBlock(final)
      else log.warn('others have a final block that this validator has not', { number: final.number, hash: final.hash })
    },
    onHeight: (number) => observer?.takeHeight(number),
    onPeer: () => observer?.askNow(),
  })
  closers.push(peers.close)
  if (observer) chain.onBlock(() => follower.passed(getL1Info(createLedger(chain.store.reader.ledgerRecord)).number))
  return {
    addresses: peers.addresses,
    start() {
      validator?.start()
      observer?.start()
    },
    wake: () => validator?.wake(),
    network() {
      const highest = observer?.highest() ?? 0n
      return { peers: peers.count(), highestBlock: highest > chain.head().header.number ? highest : undefined }
    },
  }
}

function openValidator(
  { dataDir, genesis, log, onFatal }: NodeOptions,
  { chain, set, key, follower, closers }: MoverParts & { readonly key: ValidatorKey },
): Validator {
  const self = set.validators[indexOfKey(set, key.publicKey) ?? -1]
  assert(self, 'the key is of no validator')
  const journal = openJournal(join(dataDir, 'consensus'))
  closers.push(journal.close)
  const { originLagBlocks } = genesis.params
  const validator = createValidator({
    chain,
    set,
    key,
    feeRecipient: self.feeRecipient,
    journal,
    log: log.child('consensus'),
    nowMs: Date.now,
    nextOrigin: (current, timestampMs) => follower.nextOrigin(current, { timestampMs, lagBlocks: originLagBlocks }),
    broadcast: () => {}, // a set of one has nobody to tell
    onFatal,
  })
  closers.push(validator.stop)
  return validator
}

function openL1({ genesis, l1 }: NodeOptions, kzg: Kzg): L1 {
  const { portal, inbox, checkpointManager, chainId } = genesis.l1
  return createL1({ rpcUrl: l1.url, beaconUrls: l1.beaconUrls, chainId, addresses: { portal, inbox, checkpointManager }, kzg })
}
