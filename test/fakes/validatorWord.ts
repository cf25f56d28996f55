/** What the registry on L1 tells the rollup, as a deposit: one of the validators of test/consensus/fixtures.ts comes, goes or weighs more. */
import { encodeFunctionData, type Hex, parseAbi, sliceHex, toHex } from 'viem'
import { parsePublicKey, uncompressedKey } from '../../consensus/bls.ts'
import { assert } from '../../execution/assert.ts'
import type { Deposit } from '../../execution/deposit.ts'
import { VALIDATORS } from '../../genesis/params.ts'
import { validator } from '../consensus/fixtures.ts'

/** As docs/spec/consensus.md#registry has it, and not as the code does. */
export const validatorsAbi = parseAbi(['function setValidator(address validator, address feeRecipient, uint96 weight, bytes32[3] key)'])

const REGISTRY: Hex = `0x${'11'.repeat(20)}`

/** The deposit that says it of the validator with this number; weight 0: it goes. */
export function validatorWord(index: number, weight: bigint): Deposit {
  const { address, feeRecipient, publicKey } = validator(index, weight)
  const key = parsePublicKey(publicKey)
  assert(key)
  const whole = toHex(uncompressedKey(key))
  const words = [sliceHex(whole, 0, 32), sliceHex(whole, 32, 64), sliceHex(whole, 64, 96)] as const
  const data = encodeFunctionData({ abi: validatorsAbi, args: [address, feeRecipient, weight, words] })
  const from = REGISTRY
  return { sourceHash: toHex(index, { size: 32 }), from, to: VALIDATORS, mintWei: 0n, valueWei: 0n, gas: 0n, isSystem: false, data }
}
