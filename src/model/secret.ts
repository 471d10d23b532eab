/** A value that must not be seen. However it is printed, logged or serialised, it shows `[secret]`. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself, for the one place that hands it to where it belongs. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[secret]";
  }
}

/** Where a secret is. It is read when it is needed, by who can: the configuration only says where. */
export type SecretRef =
  | { readonly kind: "value"; readonly secret: Secret }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "env"; readonly name: string }
  /** systemd's credential store: a file of that name in `$CREDENTIALS_DIRECTORY`. */
  | { readonly kind: "credential"; readonly name: string };
