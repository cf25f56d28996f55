/**
 * Ethereum's rules as @ethereumjs takes them: a fork's numbers with our cryptography, in an object that all transactions of a chain share. Whoever only
 * reads transactions needs this and no VM.
 */
import { Common, type CommonOpts, createCustomCommon, Hardfork, Mainnet } from '@ethereumjs/common'
import { paramsTx } from '@ethereumjs/tx'
import { keccak256 } from './keccak.ts'
import { KZG } from './kzg.ts'
import { recoverPublicKey } from './recover.ts'

const commons = new Map<number, Common>()

/** The chain's rules: Osaka's. One object a chain, which transactions share instead of copying it (22 µs each). */
export function commonOf(chainId: number): Common {
  const known = commons.get(chainId)
  if (known) return known
  const common = createCommon({ chainId, hardfork: Hardfork.Osaka })
  commons.set(chainId, common)
  return common
}

/** What tells one set of Ethereum's rules from another. */
export type EthereumRules = {
  readonly chainId: number
  /** A fork that the library knows, by its name in lowercase. */
  readonly hardfork: string
  /** Numbers that differ from the fork's own, by EIP and name. */
  readonly params?: NonNullable<CommonOpts['params']>
}

/** Ethereum's rules of a fork with our cryptography. Transactions share the object: it must not be changed. */
export function createCommon({ chainId, hardfork, params = {} }: EthereumRules): Common {
  const common = createCustomCommon({ name: 'tributary', chainId }, Mainnet, {
    hardfork,
    customCrypto: { keccak256, ecrecover: ecrecover as NonNullable<Common['customCrypto']['ecrecover']>, kzg: KZG },
  })
  common.updateParams(paramsTx)
  const updateParams = Common.prototype.updateParams
  const loaded = new WeakSet<object>([paramsTx])
  common.copy = () => common
  common.updateParams = (more) => {
    if (loaded.has(more)) return
    loaded.add(more)
    updateParams.call(common, more)
    updateParams.call(common, params)
    forgetAnswers()
  }
  updateParams.call(common, params)
  const forgetAnswers = rememberAnswers(common)
  return common
}

/**
 * The library looks for an EIP in a list, for a fork in all forks, and makes each number anew: many times in every operation. What is
 * returned forgets the answers, for when its numbers change.
 */
function rememberAnswers(common: Common): () => void {
  const { isActivatedEIP, gteHardfork, param } = Common.prototype
  const [eips, forks, params] = [new Map<number, boolean>(), new Map<string, boolean>(), new Map<string, bigint>()]
  common.isActivatedEIP = (eip) => remembered(eips, eip, () => isActivatedEIP.call(common, eip))
  common.gteHardfork = (fork) => remembered(forks, fork, () => gteHardfork.call(common, fork))
  common.param = (name) => remembered(params, name, () => param.call(common, name))
  return () => {
    for (const known of [eips, forks, params]) known.clear()
  }
}

/** The answer that is known, or made now and kept; one that throws is not. Arguments are few. */
function remembered<A, R>(known: Map<A, R>, argument: A, make: () => R): R {
  const found = known.get(argument)
  if (found !== undefined) return found
  const made = make()
  known.set(argument, made)
  return made
}

function ecrecover(hash: Uint8Array, v: bigint, r: Uint8Array, s: Uint8Array, chainId?: bigint): Uint8Array {
  const recovery = v === 0n || v === 1n ? v : chainId === undefined ? v - 27n : v - (chainId * 2n + 35n)
  if (recovery !== 0n && recovery !== 1n) throw new Error('Invalid signature v value')
  const publicKey = recoverPublicKey(hash, { yParity: recovery === 1n ? 1 : 0, r: left32(r), s: left32(s) })
  if (!publicKey) throw new Error('Invalid signature')
  return publicKey
}

function left32(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 32) return bytes
  const out = new Uint8Array(32)
  out.set(bytes, 32 - bytes.length)
  return out
}
