/** Where the pages that reports point to are kept. */
export const DOCUMENTATION = "https://gatewarden.io/docs";
