/**
 * Who watches an execution from within: call frames as they begin and end, operations before they run. What is made of it is a tracer's matter
 * (execution/tracers/); the rules are the same whether somebody watches or not.
 */
import type { Hex } from 'viem'
import type { Log } from './native/nativeType.ts'

/** By which operation a frame began. */
export type FrameKind = 'CALL' | 'CALLCODE' | 'DELEGATECALL' | 'STATICCALL' | 'CREATE' | 'CREATE2' | 'SELFDESTRUCT'

/** A frame that begins. */
export type FrameStart = {
  readonly kind: FrameKind
  readonly from: Hex
  /** Whose code it is; of a creation, where the contract is to be. */
  readonly to: Hex
  readonly valueWei: bigint
  readonly gas: bigint
  readonly input: Uint8Array
  /** 0: the transaction's own. */
  readonly depth: number
}

/** What became of a frame: the latest that began and has not ended. */
export type FrameEnd = {
  readonly output: Uint8Array
  readonly gasUsed: bigint
  /** Undefined: it succeeded; else the EVM's word for what happened (`revert`, `out of gas`…). */
  readonly error: string | undefined
  /** Logs of the frame and of those within it. */
  readonly logs: readonly Log[]
}

/** An operation that is going to run. What functions answer is so until it runs. */
export type Step = {
  readonly pc: number
  readonly opcode: number
  readonly name: string
  readonly gasLeft: bigint
  /** Without the gas that a call hands on. */
  readonly gasCost: bigint
  readonly depth: number
  readonly refund: bigint
  /** In whose name the code runs. */
  readonly address: Hex
  /** The bottom first. */
  stack(): readonly bigint[]
  memory(): Uint8Array
}

/** Told in the order in which things happen. What a watcher throws ends the execution. */
export type Watcher = {
  enter?(frame: FrameStart): void
  exit?(end: FrameEnd): void
  step?(step: Step): void
  /** The operation told of last ended its frame, by the EVM's word for it, and which it is where there is no such one. */
  fault?(error: string): void
  /** A log of the code that runs; logs of precompiles are told at their frame's end only. */
  log?(log: Log): void
}

/** The slot of its own account, or the account, that an operation is going to read or change. What it creates is told at its frame's end. */
export function touchedBy({ opcode, stack }: Step): { readonly slot: Hex } | { readonly address: Hex } | undefined {
  const depth = DEPTH_OF_KEY.get(opcode)
  const item = depth === undefined ? undefined : stack().at(-1 - depth)
  if (item === undefined) return undefined
  const word = item.toString(16).padStart(64, '0')
  return opcode === SLOAD || opcode === SSTORE ? { slot: `0x${word}` } : { address: `0x${word.slice(24)}` }
}

const [SLOAD, SSTORE] = [0x54, 0x55]

/** How deep in the stack an operation's slot or account is. */
const DEPTH_OF_KEY = new Map<number, number>([
  [SLOAD, 0],
  [SSTORE, 0],
  [0x31, 0], // BALANCE
  [0x3b, 0], // EXTCODESIZE
  [0x3c, 0], // EXTCODECOPY
  [0x3f, 0], // EXTCODEHASH
  [0xff, 0], // SELFDESTRUCT
  [0xf1, 1], // CALL
  [0xf2, 1], // CALLCODE
  [0xf4, 1], // DELEGATECALL
  [0xfa, 1], // STATICCALL
])
