/** What passes between the thread of consensus (node/consensusWorker.ts) and the main one (node/consensusThread.ts). */
import type { Hex } from 'viem'
import type { Evidence } from '../consensus/evidence.ts'
import type { Validator as SetMember } from '../consensus/validatorSet.ts'
import type { Facts, LogLevel } from './log.ts'
import type { LoopDelay } from './loopDelay.ts'
import type { KeyParts } from './signer.ts'
import type { ChainHead, Validator, ValidatorChain } from './validator.ts'

/** How the chain stands. `set`: that of the next block, where it was not told before. */
export type ChainNews = {
  readonly head: ChainHead
  readonly isWaiting: boolean
  readonly set: { readonly epoch: number; readonly members: readonly SetMember[] } | undefined
}

/** What the thread is started with. */
export type ConsensusWorkerData = {
  readonly chainId: number
  readonly epochBlocks: number
  /** Folder of log and guard. */
  readonly directory: string
  readonly key: KeyParts
  /** With a set. */
  readonly news: ChainNews
}

/** What the main thread does for consensus. */
export type MainHandlers = Pick<ValidatorChain, 'build' | 'check' | 'decide' | 'commitOf' | 'sendBlock'> & {
  ahead(nothing: undefined): void
  evidence(evidence: Evidence): void
  /** The validator can go on no further. */
  fatal(why: string): void
  log(line: { readonly room: string | undefined; readonly level: LogLevel; readonly event: string; readonly facts: Facts }): void
  delay(delay: LoopDelay): void
}

/** What the thread of consensus does for the main one. */
export type ConsensusHandlers = Pick<Validator, 'adopt'> & {
  start(nothing: undefined): void
  news(news: ChainNews): void
  /** Something waits for a block. */
  wake(nothing: undefined): void
  signHello(what: { readonly genesisHash: Hex; readonly peerId: string }): Promise<Uint8Array>
  /** See MessageDoor. */
  openDoor(nothing: undefined): Promise<string>
  /** Answers when what was under way is over. */
  stop(nothing: undefined): Promise<void>
}
