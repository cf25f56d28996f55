/** The validators of each height, as consensus takes them: what the ledger says of the epoch of the height. Spec: docs/spec/consensus.md#epochs */
import { concatHex, hexToBytes } from 'viem'
import { compressedKey } from '../consensus/bls.ts'
import { createValidatorSet, type Validator, type ValidatorSet } from '../consensus/validatorSet.ts'
import { assert } from '../execution/assert.ts'
import { epochOf } from '../execution/epoch.ts'
import { createLedger } from '../execution/ledger/ledger.ts'
import { setOfEpoch, type Validator as ValidatorRecord } from '../execution/ledger/validators.ts'
import type { Genesis } from '../genesis/genesis.ts'
import type { ChainState } from './chainState.ts'
import { KeyError } from './keys.ts'

export type EpochSets = {
  /** The set whose certificate makes the block of a height final; undefined while the last block of the epoch before is not final here. */
  setAt(height: number): ValidatorSet | undefined
  /** The set of the block after the head: always known. */
  next(): ValidatorSet
  epochOf(height: number): number
  /** Whether sets may ever change. */
  readonly areMany: boolean
}

/** Sets that were made and are kept: those of now, and of blocks that are asked for in order. */
const SETS_MAX = 8

/** The sets of a chain, by its ledger. A set that is known never changes. */
export function createEpochSets(chain: Pick<ChainState, 'genesis' | 'head' | 'store'>): EpochSets {
  const { params } = chain.genesis
  const made = new Map<number, ValidatorSet>()

  function setAt(height: number): ValidatorSet | undefined {
    const epoch = epochOf(BigInt(height), params)
    const known = made.get(epoch)
    if (known) return known
    if (epoch > epochOf(chain.head().header.number + 1n, params)) return undefined
    const set = makeSet(epoch)
    const [oldest] = made.keys()
    if (made.size >= SETS_MAX && oldest !== undefined) made.delete(oldest)
    made.set(epoch, set)
    return set
  }

  function makeSet(epoch: number): ValidatorSet {
    const members = setOfEpoch(createLedger(chain.store.reader.ledgerRecord), epoch)
    if (!members) return validatorSetOf(chain.genesis)
    const created = createValidatorSet(epoch, members.map(toValidator))
    assert(created.ok, 'the ledger has validators that are no set')
    return created.set
  }

  return {
    setAt,
    next() {
      const set = setAt(Number(chain.head().header.number) + 1)
      assert(set, 'the set of the next block is not known')
      return set
    },
    epochOf: (height) => epochOf(BigInt(height), params),
    areMany: params.epochBlocks > 0,
  }
}

/** Calls back when a block has become the head behind which other keys vote than before. */
export function onOtherValidators(chain: Pick<ChainState, 'onBlock'>, sets: Pick<EpochSets, 'next'>, changed: () => void): void {
  let known = sets.next()
  chain.onBlock(() => {
    const next = sets.next()
    const isSame = next === known || next.validators.map(keyOf).join() === known.validators.map(keyOf).join()
    known = next
    if (!isSame) changed()
  })
}

const keyOf = ({ publicKey }: Validator) => publicKey

function toValidator({ validator, feeRecipient, weight, key0, key1, key2 }: ValidatorRecord): Validator {
  const publicKey = compressedKey(hexToBytes(concatHex([key0, key1, key2])))
  assert(publicKey, 'the ledger has a validator whose key is none')
  return { address: validator, feeRecipient, weight, publicKey }
}

/** The validators of the genesis file, as consensus takes them. Throws KeyError if they are no set. */
export function validatorSetOf(genesis: Pick<Genesis, 'validators'>): ValidatorSet {
  const validators = genesis.validators.map(({ address, blsPublicKey, weight, feeRecipient }) => ({
    address,
    publicKey: blsPublicKey,
    weight: BigInt(weight),
    feeRecipient,
  }))
  const made = createValidatorSet(0, validators)
  if (!made.ok) throw new KeyError(`the validators of the genesis file are no set: ${made.code}`)
  return made.set
}
